"""How each kind of fact is told: its sentences and ECS fields, a room for each family of `facts`."""
