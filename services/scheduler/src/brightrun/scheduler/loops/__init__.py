"""Clock and wake-ups in: load, ask a cluster without a transaction, write down under the attempt's fence."""
