"""The floor: types, protocols, registry and metric base that tasks, models and plug-ins build on. Needs numpy alone."""
