//! Rules of the fleet's bans, one by one and over orders, duplicates and delays.
