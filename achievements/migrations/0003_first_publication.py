from typing import Any, ClassVar

from django.db import migrations


def publish_nothing(apps: Any, schema_editor: Any) -> None:
    """Publishing locks the first publication, so there has to be one."""
    apps.get_model("achievements", "Publication").objects.create(
        document={"definitions": [], "positions": {}, "size": 0}
    )


class Migration(migrations.Migration):
    dependencies: ClassVar = [("achievements", "0002_partition_user_tables")]

    operations: ClassVar = [migrations.RunPython(publish_nothing, migrations.RunPython.noop)]
