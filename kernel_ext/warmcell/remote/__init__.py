"""Calls to a host from anywhere: how it is found, reached and listened to."""
