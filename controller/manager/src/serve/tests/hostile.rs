//! Those who mean harm: memory stays bounded, and others are served.
