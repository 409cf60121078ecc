"""The sink: transactional producer, position topic, topics. The only importer of confluent_kafka."""
