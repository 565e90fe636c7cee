//! What the strategies make of many choices.
