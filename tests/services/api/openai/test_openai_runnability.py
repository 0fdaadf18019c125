"""What no cluster can ever run is refused by the name of OpenAI's field."""

import openai
import pytest
from fastapi import FastAPI

from brightrun.runtime.database import Pool
from tests.services.api.conftest import User
from tests.services.api.fakes import FakeScheduler
from tests.services.api.openai.conftest import file_of
from tests.services.api.test_runnability import LOCAL, report


async def test_openais_dialect_names_its_own_fields(
    app: FastAPI, client: openai.AsyncOpenAI, ada: User, pool: Pool, scheduler: FakeScheduler
):
    await report(app, scheduler, LOCAL)
    file_id = await file_of(pool, ada)
    with pytest.raises(openai.BadRequestError) as refused:
        await client.fine_tuning.jobs.create(model="owner/model", training_file=file_id)
    assert (refused.value.code, refused.value.param) == ("not_runnable", "model")
    assert "tiny" in str(refused.value)
