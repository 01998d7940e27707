"""``python3 dev.py bench faults --faults 200 --seed 7``: every promise, counted under faults.

Callers in processes of their own ask steadily, some with Idempotency-Keys that they send again and
again, while kernels, servers, disks and connections fail at random moments. Then the journal of
what the callers were told is held against the history.
"""
