"""The one place that assembles: profiles become assets and checks, and jobs and sensors launch them."""

import logging
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from assets.audit import meta_audit_stage, sleeve_audit_stage
from assets.building import grid_assets, places_of
from assets.certification_board import certification_board_stage
from assets.exchange import dataset_asset, exchange_info_asset
from assets.keys import stage
from assets.market import market_assets, market_stages
from assets.metas import meta_stages
from assets.metrics import meta_metrics_stage, sleeve_metrics_stage
from assets.partitioned import Stage
from assets.refused import refused_specs
from assets.signals import Signals, first_users, signal_stages
from assets.sleeves import sleeve_stages
from assets.trades import trade_list_stage
from checks.audit_verified import audit_verified_check
from checks.bars_complete import bars_complete_check
from checks.benchmark_beta import benchmark_beta_check
from checks.child_weights import child_weights_check
from checks.conservation import concentration_check, conservation_check
from checks.directional_sign_test import streams_sign_check, weights_sign_check
from checks.engine_agreement import engine_agreement_check, profile_convergence_check
from checks.extreme_metrics import extreme_metrics_check
from checks.ledger_identities import ledger_identities_check
from checks.look_ahead import look_ahead_check
from checks.parity import parity_check
from checks.partitioned import PartitionCheck, partition_checks
from checks.solver_failure_rate import solver_failure_rate_check
from checks.trade_list_reconciles import trade_list_reconciles_check
from checks.weight_sanity import weight_sanity_check
from jobs.rebalance import history, ingest, rebalance
from jobs.schedule import rebalance_schedule
from profiles.load import PROFILES
from profiles.signals import signals_of
from profiles.sound import load_sound
from resources.executors import chosen_executor
from resources.json_logs import configure_logs
from resources.store import Store
from sensors.alerts import alert_sensors
from sensors.bars import bars_sensor
from sensors.rebalance import rebalance_sensor
from sensors.revision import revision_sensor
from sleevegraph.manifest import Manifest, MetaProfile, SleeveProfile
from sleevegraph.market_data.datasets import DAILY, DATASETS
from sleevegraph.refused import Refused, told

_LOG = logging.getLogger(__name__)


def build_definitions(manifest: Manifest, folder: Path = PROFILES, refused: Sequence[Refused] = ()) -> dg.Definitions:
    """Every asset, check, job, schedule and sensor of a manifest, whose signals lie beside the profiles in `folder`.

    `refused` are profiles of the folder that are not in the manifest.
    """
    market, places = manifest.market, places_of(manifest)
    signals = signals_of(manifest, folder)
    stages = [*_stages(manifest, signals), certification_board_stage(manifest, refused)]
    assets: list[dg.AssetsDefinition | dg.AssetSpec] = [
        *market_assets(market),
        exchange_info_asset(market),
        *(dataset_asset(dataset, market) for dataset in DATASETS.values() if dataset.name != DAILY),
        *grid_assets(stages, places),
        *refused_specs(refused),
    ]
    checks = [
        bars_complete_check(market),
        *(look_ahead_check(sleeve, signals[logic]) for logic, sleeve in first_users(manifest).items()),
        *(check for s in manifest.sleeves for check in _sleeve_checks(s, manifest)),
        *(check for m in manifest.metas for check in _meta_checks(m, manifest)),
        *(audit_verified_check(portfolio.name) for portfolio in (*manifest.sleeves, *manifest.metas)),
    ]
    return dg.Definitions(
        assets=assets,
        asset_checks=partition_checks(checks, places),
        jobs=[history, ingest, rebalance],
        schedules=[rebalance_schedule],
        sensors=[bars_sensor(manifest), rebalance_sensor(manifest), revision_sensor(manifest), *alert_sensors()],
        resources={"store": Store()},
        executor=chosen_executor(),
    )


def _stages(manifest: Manifest, signals: Signals) -> list[Stage]:
    """Everything on the grid below the board, in the order of the graph."""
    market = manifest.market
    stages = [
        *market_stages(market),
        *signal_stages(manifest, signals),
        *(stage for sleeve in manifest.sleeves for stage in sleeve_stages(sleeve, market)),
        *(stage for meta in manifest.metas for stage in meta_stages(meta, manifest)),
        *(sleeve_metrics_stage(sleeve, market) for sleeve in manifest.sleeves),
        *(meta_metrics_stage(meta, market) for meta in manifest.metas),
        *(trade_list_stage(meta, manifest) for meta in manifest.metas),
    ]
    versions = {stage.path: stage.version for stage in stages}
    return [
        *stages,
        *(sleeve_audit_stage(sleeve, market, versions) for sleeve in manifest.sleeves),
        *(meta_audit_stage(meta, manifest, versions) for meta in manifest.metas),
    ]


def _sleeve_checks(sleeve: SleeveProfile, manifest: Manifest) -> list[PartitionCheck]:
    return [
        streams_sign_check(sleeve, manifest.market),
        solver_failure_rate_check(sleeve),
        engine_agreement_check(sleeve),
        profile_convergence_check(sleeve),
        weights_sign_check(sleeve, manifest.market),
        weight_sanity_check(sleeve),
        ledger_identities_check(sleeve),
        extreme_metrics_check(stage(sleeve.name, "sleeve_metrics")),
        benchmark_beta_check(sleeve),
    ]


def _meta_checks(meta: MetaProfile, manifest: Manifest) -> list[PartitionCheck]:
    return [
        child_weights_check(meta, manifest),
        parity_check(meta, manifest),
        ledger_identities_check(meta),
        conservation_check(meta, manifest),
        concentration_check(meta),
        extreme_metrics_check(stage(meta.name, "meta_metrics")),
        trade_list_reconciles_check(meta, manifest),
    ]


def sound_definitions(folder: Path = PROFILES) -> dg.Definitions:
    """Definitions of what can run of a folder of profiles; what cannot is logged, and shown in a group of its own."""
    sound = load_sound(folder)
    for line in told(sound.refused):
        _LOG.warning(line)
    return build_definitions(sound.profiles.manifest, folder, sound.refused)


configure_logs()
defs = sound_definitions()
