//! Properties of the arithmetic.
