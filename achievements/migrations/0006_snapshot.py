from typing import ClassVar

from django.db import migrations, models

from achievements.partitions import PartitionByUser


class Migration(migrations.Migration):
    dependencies: ClassVar = [("achievements", "0005_accumulator_key_unbounded")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="Snapshot",
            fields=[
                ("user_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("cut_at", models.DateTimeField()),
                ("dropped", models.BigIntegerField()),
                ("state", models.BinaryField()),
            ],
            options={"db_table": "user_snapshots"},
        ),
        PartitionByUser("Snapshot"),
    ]
