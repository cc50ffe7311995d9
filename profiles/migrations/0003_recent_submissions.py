from typing import ClassVar

from django.db import migrations, models

from achievements.partitions import PartitionByUser


class Migration(migrations.Migration):
    dependencies: ClassVar = [("profiles", "0002_partition_test_results")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="RecentSubmissions",
            fields=[
                ("user_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("packed", models.BinaryField(default=b"")),
            ],
            options={
                "verbose_name_plural": "recent submissions",
                "db_table": "recent_submissions",
            },
        ),
        PartitionByUser("RecentSubmissions"),
    ]
