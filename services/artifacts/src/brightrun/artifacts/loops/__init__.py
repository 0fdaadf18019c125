"""What a clock or a wake-up starts: validations and transfers."""
