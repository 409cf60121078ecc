"""`make demo`: the whole way from a shop's MySQL to Kafka in front of your eyes, with a fleet, a kill in the middle and a proof."""
