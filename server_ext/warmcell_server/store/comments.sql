-- What the public views and their columns mean, applied after views.sql. Every column has a line.
COMMENT ON VIEW main.runs IS
    'One row for each run: an execution of a pipeline from a cell, a call, a schedule or a trigger.';
COMMENT ON COLUMN main.runs.run_id IS 'Id of the run, a UUIDv7: ids sort by time';
COMMENT ON COLUMN main.runs.run_name IS 'Its name, where it was given one';
COMMENT ON COLUMN main.runs.pipeline IS 'Name of the pipeline';
COMMENT ON COLUMN main.runs.deployment IS 'Name of the deployment that was called';
COMMENT ON COLUMN main.runs.snapshot IS
    'Number of the snapshot that was executed; null for one from a cell';
COMMENT ON COLUMN main.runs.trigger IS 'What started it: cell, call, async, schedule, rerun …';
COMMENT ON COLUMN main.runs.status IS
    'queued, running, succeeded, failed, cancelled, timed_out or lost';
COMMENT ON COLUMN main.runs.created_at IS 'When it was asked for (UTC)';
COMMENT ON COLUMN main.runs.started_at IS 'When it began to execute (UTC)';
COMMENT ON COLUMN main.runs.finished_at IS 'When it ended (UTC)';
COMMENT ON COLUMN main.runs.duration IS 'Seconds from its beginning to its end';
COMMENT ON COLUMN main.runs.parameters IS 'What the pipeline was called with';
COMMENT ON COLUMN main.runs.outputs IS 'What came out, by name';
COMMENT ON COLUMN main.runs.error IS 'Why it did not succeed';
COMMENT ON COLUMN main.runs.error_type IS 'Class of the error';
COMMENT ON COLUMN main.runs.error_step IS 'The step that raised it';
COMMENT ON COLUMN main.runs.notebook IS 'Notebook that ran or served it';
COMMENT ON COLUMN main.runs."user" IS 'Who asked for it';
COMMENT ON COLUMN main.runs.host_id IS 'Server that recorded it';
COMMENT ON COLUMN main.runs.traceparent IS 'W3C Trace Context of the call';
COMMENT ON COLUMN main.runs.origin IS 'Id of the run that this one repeats';

COMMENT ON VIEW main.calls IS
    'Calls of deployments; calls(''name'') has a column per parameter and output';
COMMENT ON COLUMN main.calls.run_id IS 'Id of its run';
COMMENT ON COLUMN main.calls.run_name IS 'Name of its run, where it was given one';
COMMENT ON COLUMN main.calls.deployment IS 'What was called';
COMMENT ON COLUMN main.calls.pipeline IS 'Name of its pipeline';
COMMENT ON COLUMN main.calls.snapshot IS 'Number of the snapshot that answered';
COMMENT ON COLUMN main.calls.trigger IS 'How it came: call, async, schedule, rerun …';
COMMENT ON COLUMN main.calls.status IS
    'succeeded, failed, cancelled, timed_out, lost, queued or running';
COMMENT ON COLUMN main.calls.created_at IS 'When it came in (UTC)';
COMMENT ON COLUMN main.calls.started_at IS 'When it began to execute (UTC)';
COMMENT ON COLUMN main.calls.finished_at IS 'When it ended (UTC)';
COMMENT ON COLUMN main.calls.duration IS 'Seconds that it was executed';
COMMENT ON COLUMN main.calls.waited IS 'Seconds that it waited to be executed';
COMMENT ON COLUMN main.calls.parameters IS
    'What it was called with: parameters.name, or parameters ->> ''$.name'' as text';
COMMENT ON COLUMN main.calls.outputs IS 'What it answered, by name';
COMMENT ON COLUMN main.calls.error IS 'Why it did not succeed';
COMMENT ON COLUMN main.calls.error_type IS 'Class of the error';
COMMENT ON COLUMN main.calls.error_step IS 'The step that raised it';
COMMENT ON COLUMN main.calls."user" IS 'Who called';
COMMENT ON COLUMN main.calls.origin IS 'The run that it repeats, of a shadow or a rerun';

COMMENT ON VIEW main.steps IS 'One row for each step of each run.';
COMMENT ON COLUMN main.steps.run_id IS 'Id of the run';
COMMENT ON COLUMN main.steps.step_index IS 'Position among the steps of the run, from 0';
COMMENT ON COLUMN main.steps.step IS 'Name of the step in its run';
COMMENT ON COLUMN main.steps.status IS
    'running, succeeded, failed, cancelled, timed_out, skipped or lost';
COMMENT ON COLUMN main.steps.started_at IS 'When it began (UTC)';
COMMENT ON COLUMN main.steps.finished_at IS 'When it ended (UTC)';
COMMENT ON COLUMN main.steps.duration IS 'Seconds that it took, all attempts together';
COMMENT ON COLUMN main.steps.attempts IS 'How often it was tried';
COMMENT ON COLUMN main.steps.upstream IS 'Names of the steps that it waited for';
COMMENT ON COLUMN main.steps.inputs IS
    'Where each input came from: $parameter of the pipeline, step.output of a step, or = for a value of the body';
COMMENT ON COLUMN main.steps.error IS 'Why it did not succeed';
COMMENT ON COLUMN main.steps.error_type IS 'Class of the error';
COMMENT ON COLUMN main.steps.cached IS 'Id of the run whose results were taken again instead';
COMMENT ON COLUMN main.steps.uncached IS
    'Why no earlier results were taken, where they might have been';

COMMENT ON VIEW main.artifacts IS
    'What steps gave, described, and all artifact versions that are kept; one row for each output of each run, and one for each version saved beside that.';
COMMENT ON COLUMN main.artifacts.run_id IS 'Id of the run that gave it';
COMMENT ON COLUMN main.artifacts.step IS 'Step that gave it';
COMMENT ON COLUMN main.artifacts.name IS 'Name of the output';
COMMENT ON COLUMN main.artifacts.kind IS 'How it is stored: json, pandas, numpy, …';
COMMENT ON COLUMN main.artifacts.type IS 'Its Python class';
COMMENT ON COLUMN main.artifacts.size IS 'Bytes';
COMMENT ON COLUMN main.artifacts.digest IS 'SHA-256 of the content';
COMMENT ON COLUMN main.artifacts.preview IS 'A line that shows it';
COMMENT ON COLUMN main.artifacts.value IS 'Its JSON, where that is small';
COMMENT ON COLUMN main.artifacts.version_id IS
    'Id of the artifact version; null where nothing is kept';
COMMENT ON COLUMN main.artifacts.artifact IS 'Name of the artifact';
COMMENT ON COLUMN main.artifacts.number IS 'Number of the version within its artifact';
COMMENT ON COLUMN main.artifacts.version IS 'Label of the version, the number where none was given';
COMMENT ON COLUMN main.artifacts.pipeline IS 'Pipeline of the run';
COMMENT ON COLUMN main.artifacts.role IS 'data, model, statistics, service …';
COMMENT ON COLUMN main.artifacts.status IS
    'pending, stored, lost, deleted, or refused with the reason';
COMMENT ON COLUMN main.artifacts.created_at IS 'When the version was made (UTC)';
COMMENT ON COLUMN main.artifacts."user" IS 'Who made it';
COMMENT ON COLUMN main.artifacts.facts IS 'What was found in the value: shape, columns, …';
COMMENT ON COLUMN main.artifacts.shape IS 'Its shape, of arrays and frames';
COMMENT ON COLUMN main.artifacts.column_names IS 'Names of its columns, of frames';
COMMENT ON COLUMN main.artifacts.files IS 'Names of its files';

COMMENT ON VIEW main.logs IS 'What runs wrote, piece by piece.';
COMMENT ON COLUMN main.logs.run_id IS 'Id of the run';
COMMENT ON COLUMN main.logs.time IS 'When it was written (UTC)';
COMMENT ON COLUMN main.logs.stream IS 'stdout, stderr, log or display';
COMMENT ON COLUMN main.logs.text IS 'What was written';
COMMENT ON COLUMN main.logs.step IS 'Step that wrote it';
COMMENT ON COLUMN main.logs.level IS 'Level of a log message';

COMMENT ON VIEW main.snapshots IS 'Immutable captures of pipelines, as they were deployed.';
COMMENT ON COLUMN main.snapshots.pipeline IS 'Name of the pipeline';
COMMENT ON COLUMN main.snapshots.number IS 'Number of the snapshot, which counts per pipeline';
COMMENT ON COLUMN main.snapshots.digest IS 'The same for the same code and values';
COMMENT ON COLUMN main.snapshots.created_at IS 'When it was taken (UTC)';
COMMENT ON COLUMN main.snapshots.input_schema IS 'JSON Schema of the parameters';
COMMENT ON COLUMN main.snapshots.output_schema IS 'JSON Schema of the outputs';
COMMENT ON COLUMN main.snapshots.source IS 'JSON text: source of each step, cell and module';
COMMENT ON COLUMN main.snapshots.notes IS 'What its author should know';
COMMENT ON COLUMN main.snapshots.held IS 'Names that it holds, with size and fingerprint';
COMMENT ON COLUMN main.snapshots.environment IS 'Python and packages';
COMMENT ON COLUMN main.snapshots.settings IS 'Settings of the deployment';
COMMENT ON COLUMN main.snapshots.notebook IS 'Notebook that it was taken in';
COMMENT ON COLUMN main.snapshots."user" IS 'Who took it';
COMMENT ON COLUMN main.snapshots.stored IS 'pending, stored, or refused with the reason';
COMMENT ON COLUMN main.snapshots.note IS 'What its author said of it';

COMMENT ON VIEW main.deployments IS 'Names that serve or served snapshots.';
COMMENT ON COLUMN main.deployments.name IS 'Name of the deployment, part of its URL';
COMMENT ON COLUMN main.deployments.pipeline IS 'Name of the pipeline';
COMMENT ON COLUMN main.deployments.snapshot IS 'Number of the snapshot that it serves';
COMMENT ON COLUMN main.deployments.state IS 'serving, restoring, resting, detached or removed';
COMMENT ON COLUMN main.deployments.created_at IS 'When the name was first deployed (UTC)';
COMMENT ON COLUMN main.deployments.updated_at IS 'When it last changed (UTC)';
COMMENT ON COLUMN main.deployments.settings IS 'Its settings';
COMMENT ON COLUMN main.deployments.notebook IS 'Notebook that deployed it';
COMMENT ON COLUMN main.deployments."user" IS 'Who deployed it';
COMMENT ON COLUMN main.deployments.host_id IS 'Server that serves it';
COMMENT ON COLUMN main.deployments.traffic IS
    'How its calls are shared between snapshots; null where one gets all';

COMMENT ON VIEW main.errors IS
    'Records that could not be stored, so that nothing is dropped in silence.';
COMMENT ON COLUMN main.errors.time IS 'When (UTC)';
COMMENT ON COLUMN main.errors.file IS 'Spool file that had the record';
COMMENT ON COLUMN main.errors.host_id IS 'Server that recorded it';
COMMENT ON COLUMN main.errors.reason IS 'Why it was refused';
COMMENT ON COLUMN main.errors.line IS 'The record as it was';

COMMENT ON VIEW main.deliveries IS 'Messages to callback URLs about the ends of runs.';
COMMENT ON COLUMN main.deliveries.delivery_id IS 'The webhook-id, the same in all attempts';
COMMENT ON COLUMN main.deliveries.run_id IS 'Id of the run';
COMMENT ON COLUMN main.deliveries.deployment IS 'Its deployment';
COMMENT ON COLUMN main.deliveries.url IS 'Where it goes';
COMMENT ON COLUMN main.deliveries.status IS 'pending, delivered, failed or refused';
COMMENT ON COLUMN main.deliveries.created_at IS 'When it was asked for (UTC)';
COMMENT ON COLUMN main.deliveries.updated_at IS 'When it was last tried (UTC)';
COMMENT ON COLUMN main.deliveries.attempts IS 'How often it was tried';
COMMENT ON COLUMN main.deliveries.next_at IS 'When it is tried next (UTC)';
COMMENT ON COLUMN main.deliveries.response IS 'HTTP status of the last attempt';
COMMENT ON COLUMN main.deliveries.error IS 'Why the last attempt failed';

COMMENT ON VIEW main.audit IS 'Who changed what: keys, deployments, traffic, stages, artifacts.';
COMMENT ON COLUMN main.audit.time IS 'When (UTC)';
COMMENT ON COLUMN main.audit.event IS 'What happened, such as key.created';
COMMENT ON COLUMN main.audit.subject IS 'What it happened to';
COMMENT ON COLUMN main.audit.deployment IS 'The deployment that it is about';
COMMENT ON COLUMN main.audit."user" IS 'Who did it';
COMMENT ON COLUMN main.audit.detail IS 'More about it';

COMMENT ON VIEW main.tags IS 'Who has which tag.';
COMMENT ON COLUMN main.tags.tag IS 'The tag';
COMMENT ON COLUMN main.tags.kind IS
    'What has it: pipeline, run, snapshot, deployment, artifact, artifact_version, model or model_version';
COMMENT ON COLUMN main.tags.subject IS 'Its id or name; of a snapshot pipeline/number';
COMMENT ON COLUMN main.tags.scope IS
    'What an exclusive tag is exclusive in: a pipeline, an artifact, a model';
COMMENT ON COLUMN main.tags.color IS 'Its color';
COMMENT ON COLUMN main.tags.exclusive IS 'Whether one subject of a scope has it at most';
COMMENT ON COLUMN main.tags.created_at IS 'When it was put there (UTC)';
COMMENT ON COLUMN main.tags."user" IS 'Who did that';

COMMENT ON VIEW main.visualizations IS 'Visualizations of artifacts, and what they are shown with.';
COMMENT ON COLUMN main.visualizations.id IS 'Id of the visualization';
COMMENT ON COLUMN main.visualizations.kind IS
    'What it is shown with: model, deployment, pipeline, run, snapshot or project';
COMMENT ON COLUMN main.visualizations.subject IS 'Its id or name; of a snapshot pipeline/number';
COMMENT ON COLUMN main.visualizations.name IS 'What it is called where it is shown';
COMMENT ON COLUMN main.visualizations.place IS 'Lower ones come first, what has none last';
COMMENT ON COLUMN main.visualizations.layout IS 'full_width or half_width';
COMMENT ON COLUMN main.visualizations.artifact IS 'Name of the artifact';
COMMENT ON COLUMN main.visualizations.version IS 'Label of its version';
COMMENT ON COLUMN main.visualizations.version_id IS 'Id of its version';
COMMENT ON COLUMN main.visualizations.number IS 'Which of the version''s visualizations, from 0';
COMMENT ON COLUMN main.visualizations.created_at IS 'When it was made (UTC)';
COMMENT ON COLUMN main.visualizations."user" IS 'Who made it';

COMMENT ON VIEW main.metadata IS
    'What was logged about runs, steps, artifact versions and model versions.';
COMMENT ON COLUMN main.metadata.kind IS
    'What it is about: run, step, artifact_version or model_version';
COMMENT ON COLUMN main.metadata.subject IS 'Its id; of a step the run''s id, a slash, its name';
COMMENT ON COLUMN main.metadata.run_id IS 'Run that logged it';
COMMENT ON COLUMN main.metadata.step IS 'Step that logged it';
COMMENT ON COLUMN main.metadata.key IS 'Name of the value';
COMMENT ON COLUMN main.metadata.value IS 'The value';
COMMENT ON COLUMN main.metadata.type IS 'Its type: float, int, string, Uri, StorageSize, …';
COMMENT ON COLUMN main.metadata.time IS 'When it was logged (UTC)';

COMMENT ON VIEW main.models IS
    'Versions of the models in the registry; a model without any has one row.';
COMMENT ON COLUMN main.models.model IS 'Name of the model';
COMMENT ON COLUMN main.models.version_id IS 'Id of the version';
COMMENT ON COLUMN main.models.number IS 'Number of the version within its model';
COMMENT ON COLUMN main.models.version IS 'Label of the version, the number where none was given';
COMMENT ON COLUMN main.models.stages IS 'Stages and aliases that it holds';
COMMENT ON COLUMN main.models.archived IS 'Whether it was archived';
COMMENT ON COLUMN main.models.description IS 'What was said of the version, else of the model';
COMMENT ON COLUMN main.models.license IS 'License of the model';
COMMENT ON COLUMN main.models.tags IS 'Tags of the version and of the model';
COMMENT ON COLUMN main.models.run_id IS 'Run that made it';
COMMENT ON COLUMN main.models.about_model IS 'All that was said of the model';
COMMENT ON COLUMN main.models.about_version IS 'All that was said of the version';
COMMENT ON COLUMN main.models.created_at IS 'When it was made (UTC)';
COMMENT ON COLUMN main.models.updated_at IS 'When it last changed (UTC)';
COMMENT ON COLUMN main.models."user" IS 'Who made it';

COMMENT ON VIEW main.stages IS 'Moves of the stages and aliases of models.';
COMMENT ON COLUMN main.stages.model IS 'Name of the model';
COMMENT ON COLUMN main.stages.alias IS 'The stage or alias';
COMMENT ON COLUMN main.stages.before IS 'Label of the version that had it';
COMMENT ON COLUMN main.stages.after IS
    'Label of the version that got it; null where it was taken away';
COMMENT ON COLUMN main.stages.revision IS 'Counts the moves of this alias';
COMMENT ON COLUMN main.stages."user" IS 'Who moved it';
COMMENT ON COLUMN main.stages.reason IS 'Why, as they said';
COMMENT ON COLUMN main.stages.time IS 'When (UTC)';

COMMENT ON VIEW main.lineage IS 'What leads to what, as edges from a source to a target.';
COMMENT ON COLUMN main.lineage.source_kind IS
    'artifact_version, step, run, snapshot or model_version';
COMMENT ON COLUMN main.lineage.source IS
    'Id or name of the source; of a step run_id/step, of a snapshot pipeline/number';
COMMENT ON COLUMN main.lineage.target_kind IS
    'artifact_version, step, run, snapshot, model_version or deployment';
COMMENT ON COLUMN main.lineage.target IS 'Id or name of the target, as source';
COMMENT ON COLUMN main.lineage.relation IS
    'output (made), input (taken), cached (taken from an earlier run), executed (a snapshot), held (by a snapshot), linked (to a model version), served (by a deployment)';
COMMENT ON COLUMN main.lineage.name IS 'Name of the input or output, or role in the model';
COMMENT ON COLUMN main.lineage.run_id IS 'Run that it belongs to';
COMMENT ON COLUMN main.lineage.time IS 'When (UTC)';

COMMENT ON VIEW main.views IS 'These views and their columns.';
COMMENT ON COLUMN main.views.view_name IS 'Name of the view';
COMMENT ON COLUMN main.views.column_name IS 'Name of the column; null for the view as a whole';
COMMENT ON COLUMN main.views.data_type IS 'Type of the column';
COMMENT ON COLUMN main.views.comment IS 'What it means';
