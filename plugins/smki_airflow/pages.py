"""The project's pages on Airflow's API server."""

from fastapi import FastAPI

from smki_airflow.board.routes import router

app = FastAPI(title="SMKI Repository", openapi_url=None)  # which also switches off the pages that describe an API
app.include_router(router)
