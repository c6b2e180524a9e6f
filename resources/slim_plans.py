"""What our event logs leave out: a planned check carries the grid along (255 kB), which nothing reads once its rows are made.

Private to Dagster: `_event_to_row`, `_event_insert_timestamp`, `_store_asset_check_evaluation_planned`.
"""

from typing import Any

from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._record import replace


class SlimPlans(SqlEventLogStorage):
    """Stores planned checks without their partitions; to be mixed into a storage, before it."""

    def _event_to_row(self, event: EventLogEntry) -> dict[str, Any]:
        return super()._event_to_row(_without_grid(event))

    def _store_asset_check_evaluation_planned(self, event: EventLogEntry, event_id: int | None) -> None:
        """Plan a check for every partition of a range without the whole grid beside each of them.

        The stock method stores the partition definition (255 kB) per check and partition: 0.4 GB for 74 rebalances.
        """
        planned = event.get_dagster_event().event_specific_data
        if not isinstance(planned, AssetCheckEvaluationPlanned) or not planned.partitions_subset:
            super()._store_asset_check_evaluation_planned(event, event_id)
            return
        row = {
            "asset_key": planned.asset_key.to_string(),
            "check_name": planned.check_name,
            "run_id": event.run_id,
            "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
            "evaluation_event": self._event_to_row(event)["event"],
            "evaluation_event_timestamp": self._event_insert_timestamp(event),
            "evaluation_event_storage_id": event_id,
        }
        keys = planned.partitions_subset.get_partition_keys()
        with self.index_connection() as connection:
            connection.execute(AssetCheckExecutionsTable.insert(), [{**row, "partition": key} for key in keys])


def _without_grid(event: EventLogEntry) -> EventLogEntry:
    planned = event.dagster_event.event_specific_data if event.dagster_event else None
    if not isinstance(planned, AssetCheckEvaluationPlanned) or planned.partitions_subset is None:
        return event
    slim = event.get_dagster_event()._replace(event_specific_data=replace(planned, partitions_subset=None))
    return event._replace(dagster_event=slim)
