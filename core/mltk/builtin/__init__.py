"""The built-in behavior as plugins, used if no other plugin answers.

Each module imports nothing heavy; its hooks are `trylast`.
"""
