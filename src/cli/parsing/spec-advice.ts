import type { FieldAdvice } from './json-messages.ts'

const inTransform = 'it belongs into "transform"'
const inInput = 'it belongs into "input", as in "input": {"atom": {"repo": "images", "glob": "/*"}}'
const inAtom = 'write "atom": {"repo": "images", "glob": "/*"}'
const later = 'it is of a later Pachyderm, and this server does not have it'

function all(fields: string, advice: string): Readonly<Record<string, string>> {
  const names = fields.split(' ')
  return Object.fromEntries(
    names.flatMap((name) => [
      [name, advice],
      [camelCase(name), advice],
    ]),
  )
}

function camelCase(name: string): string {
  return name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
}

/** What to say of fields that specs of other versions have, or that stand in the wrong place. */
export const specAdvice: FieldAdvice = {
  'pps.CreatePipelineRequest': {
    name: 'write "pipeline": {"name": "edges"}',
    ...all('image cmd stdin env secrets accept_return_code image_pull_secrets', inTransform),
    ...all('repo glob branch atom cross union cron lazy from_commit', inInput),
    ...all(
      'autoscaling chunk_spec datum_set_spec determined max_queue_size metadata parallelism_max pod_patch pod_spec priority reprocess_spec ' +
        'resource_limits resource_requests s3_out scheduling_spec service ' +
        'sidecar_resource_limits sidecar_resource_requests spec_commit standby tf_job tolerations',
      later,
    ),
  },
  'pps.Transform': all('build dockerfile datum_batching memory_volume user working_dir', later),
  'pps.Input': { ...all('repo glob branch name lazy from_commit', inAtom), git: later },
  'pps.AtomInput': all('commit_id empty_files project reference repo_type s3 trigger', later),
  'pps.CronInput': all('commit_id overwrite project', later),
  'pps.ParallelismSpec': {
    strategy: 'it is of 1.4 and before: leave it out, and give "constant" or "coefficient" alone',
  },
  'pps.ResourceSpec': all('disk', later),
}
