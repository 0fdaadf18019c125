"""What a training will cost, take and need, before it is asked for."""

from brightrun.api.actions.offers import take_offer
from brightrun.api.models import Dataset
from brightrun.api.queries import job_lists, prices
from brightrun.api.rules import calibration, estimates, memory
from brightrun.api.rules.prices import named, rate_of
from brightrun.api.schemas.estimates import Estimate, EstimateJob, MemoryEstimate
from brightrun.contracts.serving import check_servability
from brightrun.contracts.training import TrainingSpec
from brightrun.runtime.database import Connection


async def estimate(conn: Connection, body: EstimateJob, dataset: Dataset) -> Estimate:
    """Priced as a job would be that is submitted now, and compared with jobs that are over."""
    spec: TrainingSpec = body.hyperparameters
    offer = await take_offer(conn, body.gpu_config, spec, {}, dataset.training_pairs or None)
    quote = estimates.estimate(dataset, spec, rate_of(body.gpu_config, offer))
    past = await job_lists.list_past(conn)
    spec, shape = named(spec, offer.base_model), offer.shape_of(spec.base_model)
    gpus = await prices.list_gpus(conn)
    return Estimate.of(
        quote,
        dataset,
        learned=calibration.calibrate(quote, body.gpu_config.type, past),
        past_error=calibration.past_error(past),
        memory=MemoryEstimate.of([memory.judge(spec, shape, gpu) for gpu in gpus], body.gpu_config.type),
        model_hours=estimates.model_hours(quote, dataset, spec, shape, body.gpu_config),
        serving=check_servability(spec),
    )
