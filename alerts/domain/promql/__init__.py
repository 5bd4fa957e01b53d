"""PromQL as the product needs it: read it, splice matchers into it with a proof, and know what may be split.

Reading order: :mod:`lexer` (tokens), :mod:`limits` (what is refused before parsing), :mod:`tree` (the parser's answer as plain
values), :mod:`expression` (text, tree and selectors together), :mod:`injection`, :mod:`distribution`, :mod:`fate`.
"""
