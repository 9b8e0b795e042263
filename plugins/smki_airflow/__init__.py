"""All that knows both Airflow and the publisher's domain (`smki`)."""
