"""The report that ``python3 dev.py bench`` writes."""
