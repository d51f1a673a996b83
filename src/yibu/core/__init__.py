"""The ground floor: errors, recipe, store, plugs, record, log, progress. Nothing here imports torch."""
