"""Configuration: owns the reading of `nightmail.toml` and promises one clear line for each fault in it.

`load` in `loading` gives the whole `Config` of `settings`; `reference` renders the documentation of every setting.
"""
