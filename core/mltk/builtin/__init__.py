"""The built-in behavior, as plugins: what mltk does when no other plugin answers.

Each module imports nothing heavy and declares its hooks `trylast`.
"""
