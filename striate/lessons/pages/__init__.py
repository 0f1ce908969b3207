"""The pages: what each shows, drawn without a script first."""
