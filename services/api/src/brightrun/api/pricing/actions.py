"""Read current prices, estimate, and change the price table."""

from collections.abc import Sequence

from brightrun.api.accounts.actions import record_change
from brightrun.api.accounts.models import User
from brightrun.api.datasets.models import Dataset
from brightrun.api.errors import Invalid, NotRunnable, Untrainable
from brightrun.api.pricing import estimates, feasibility, queries, runnability
from brightrun.api.pricing.models import BaseModelTerms, CurrentPrices, Kind, PriceChange, Terms, with_numbers
from brightrun.api.pricing.prices import hourly_rate_of, problems, taken_names, with_own_name
from brightrun.api.pricing.schemas import CostBreakdown, Estimate, EstimateJob, MemoryEstimate, TrainingDetails
from brightrun.contracts.scheduling import ClusterCapacity
from brightrun.contracts.serving import check_servability
from brightrun.contracts.training import GpuConfig, TrainingSpec
from brightrun.contracts.values import to_cents
from brightrun.runtime.database import Connection


async def require_current_prices(
    conn: Connection,
    gpu: GpuConfig,
    spec: TrainingSpec,
    other_problems: dict[str, list[str]],
    *,
    examples: int | None = None,
    clusters: Sequence[ClusterCapacity] | None = None,
    inputs: bool = False,
) -> CurrentPrices:
    """The current prices. Raises Invalid with the request's `other_problems`, Untrainable, or NotRunnable.

    `examples`: those of the data set, where known. `inputs`: the job needs more files than its data set. The error has
    the problems of all kinds.
    """
    current = await queries.read_current_prices(conn, gpu.type, spec.base_model)
    gpus = [] if current.gpu else await queries.list_gpus(conn)
    found = other_problems | problems(current, gpus, spec.max_cost)
    untrainable = feasibility.problems(spec, gpu, current.shape_of(spec.base_model), examples)
    base_model = with_own_name(spec, current.base_model).base_model
    not_runnable = runnability.problems(gpu, base_model, clusters, inputs=inputs)
    if found:
        raise Invalid(not_runnable | untrainable | found)
    if untrainable:
        raise Untrainable(not_runnable | untrainable)
    if not_runnable:
        raise NotRunnable(not_runnable)
    return current


async def estimate(
    conn: Connection, body: EstimateJob, dataset: Dataset, clusters: Sequence[ClusterCapacity] | None
) -> Estimate:
    """Estimate a job as if it were submitted now, and compare it with past jobs."""
    spec: TrainingSpec = body.hyperparameters
    current = await require_current_prices(conn, body.gpu_config, spec, {}, examples=dataset.training_pairs or None)
    quote = estimates.estimate(dataset, spec, hourly_rate_of(body.gpu_config, current))
    past = await queries.list_past(conn)
    spec, shape = with_own_name(spec, current.base_model), current.shape_of(spec.base_model)
    gpus = await queries.list_gpus(conn)
    impossible = runnability.problems(body.gpu_config, spec.base_model, clusters)
    fits = [feasibility.evaluate_memory(spec, shape, gpu) for gpu in gpus]
    return Estimate(
        estimated_cost=quote.total,
        cost_breakdown=CostBreakdown(compute=quote.compute, storage=quote.storage),
        estimated_duration_hours=quote.hours,
        hourly_rate=to_cents(quote.hourly_rate),
        training_details=TrainingDetails(
            total_steps=quote.total_steps,
            steps_per_epoch=quote.steps_per_epoch,
            estimated_throughput_tokens_per_sec=quote.tokens_per_second,
            dataset_name=dataset.name,
        ),
        range=estimates.calibrate(quote, body.gpu_config.type, past),
        past_error=estimates.past_error(past),
        memory=MemoryEstimate.of(fits, body.gpu_config.type),
        model_hours=estimates.model_hours(quote, dataset, spec, shape, body.gpu_config),
        serving=check_servability(spec),
        runnable=not impossible,
        not_runnable=impossible,
    )


async def set_terms(
    conn: Connection, admin: User, kind: Kind, name: str, terms: Terms, *, active: bool = True
) -> PriceChange:
    """Set terms from now on; existing jobs keep their prices. Terms that are in force already change nothing."""
    await queries.change_one_at_a_time(conn)
    if isinstance(terms, BaseModelTerms) and active:
        await _reject_taken_names(conn, name, terms)
    current = await queries.find_current(conn, kind, name)
    if current and (current.active, type(terms).model_validate(current.terms)) == (active, terms):
        return current
    details = {"terms": with_numbers(terms.model_dump(mode="json", exclude_none=True)), "active": active}
    await record_change(conn, admin, f"price.{kind}", name, **details)
    return await queries.insert_change(conn, kind, name, terms, admin.id, active=active)


async def _reject_taken_names(conn: Connection, name: str, terms: BaseModelTerms) -> None:
    if taken := taken_names(name, terms, await queries.list_base_models(conn)):
        raise Invalid({"aliases": [f"another base model is called {taken_name}" for taken_name in taken]})
