"""A collector of metrics: takes OTLP over HTTP, as OpenTelemetry's own does, and keeps the gauges."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

Attributes = frozenset[tuple[str, str]]


class Collector:
    """Listens while its block runs."""

    def __init__(self) -> None:
        self.gauges: dict[tuple[str, Attributes], float] = {}  # newest value by name and attributes
        keep = self._keep

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/metrics":
                    keep(ExportMetricsServiceRequest.FromString(body))
                answer = ExportMetricsServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def environment(self) -> dict[str, str]:
        """What docs/metrics.md says to set."""
        endpoint = f"http://127.0.0.1:{self._server.server_port}"
        return {"AIRFLOW__METRICS__OTEL_ON": "True", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}

    def values(self, name: str) -> dict[Attributes, float]:
        """The newest value of a gauge, by attributes."""
        return {attributes: value for (known, attributes), value in list(self.gauges.items()) if known == name}

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _keep(self, request: ExportMetricsServiceRequest) -> None:
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.gauge.data_points:
                        attributes = frozenset((one.key, one.value.string_value) for one in point.attributes)
                        value = getattr(point, str(point.WhichOneof("value")))
                        self.gauges[metric.name, attributes] = value
