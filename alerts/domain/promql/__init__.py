"""PromQL as the product needs it: read it, splice matchers into it with a proof, and know what may be split.

Reading order: ``lexer`` (tokens), ``limits`` (what is refused before parsing), ``tree`` (the parser's answer as plain
values), ``selectors`` (where they are in the text), ``expression`` (all of that), ``injection`` (the splice and its
proof), ``distribution`` and ``fate`` (what may be split, and what keeps a label).
"""
