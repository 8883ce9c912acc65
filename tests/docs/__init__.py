"""README and docs hold: their commands run, their links lead somewhere, and the reference is today's."""
