//! Nothing: the examples are the files beside `src/`, each a whole program.
