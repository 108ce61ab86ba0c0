"""From runs to knowledge: statistics, tables and figures. Knows pandas and matplotlib; never torch or Ray."""
