"""TxPert (Wenkel et al., Nature Biotechnology 2026), own version: embedded genes shift an encoded control."""
