"""What all routes share: errors, bodies, parameters, rate limits, peer clients, documents."""
