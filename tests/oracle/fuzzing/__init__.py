"""Random models for the rewriter: grown from nothing (grow.py, operators.py), and changed ones of
what the golden tests rewrite (mutate.py); judge.py says what may come of them.
SPDX-License-Identifier: Apache-2.0
"""
