"""Families of com.microsoft operators: one module each, see case.py.
SPDX-License-Identifier: Apache-2.0
"""
