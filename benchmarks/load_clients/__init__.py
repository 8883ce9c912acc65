"""What a core of a load client can take in, beside a core of the server and beside what people use instead."""
