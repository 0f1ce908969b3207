"""The pages, a module each: `add(app, studio)` adds its addresses."""
