# What cdcd uses of kazoo 2.11, typed.
