//! The kinds: a folder per group, a file or folder per kind, one registry line each.
