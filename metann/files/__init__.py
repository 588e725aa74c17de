"""Files of any kind: whole or none, texts and JSON, what they say of themselves, digests of what comes from outside."""
