//! Boots Quire under every scenario.
