import type { FindingFacts, FindingKind } from '../base/findings.ts'

export type PipelinesDamage =
  | 'pipeline-damaged'
  | 'pipeline-inputs-wrong'
  | 'pipeline-provenance-wrong'
  | 'pipeline-repo-missing'
  | 'arrival-missing'
  | 'job-counts-wrong'
  | 'job-damaged'
  | 'job-input-missing'
  | 'job-output-missing'
  | 'job-output-provenance-wrong'
  | 'job-provenance-wrong'
  | 'job-rows-left-over'
  | 'datum-set-wrong'
  | 'datum-result-missing'
  | 'datum-result-damaged'
  | 'datum-failure-damaged'
  | 'pipeline-missing'
  | 'pipeline-kind-wrong'
  | 'pipeline-rows-left-over'
  | 'spec-damaged'
  | 'arrival-damaged'
  | 'job-output-wrong'
  | 'secret-damaged'
  | 'branch-trigger-damaged'
  | 'trial-damaged'
  | 'trial-rows-left-over'

const fixIt: string = 'run fsck with --fix: it is worked out again'
const restoreMetadata: string =
  'rows have been lost or changed: restore the newest backup of the data directory, or of metadata.db with its packs'
const processAgain: string =
  'process its inputs again with update-pipeline --reprocess, which leaves former outputs as they are'

/** What can be wrong with pipelines, jobs and datums. Each has its section in `docs/storage.md`. */
export const pipelinesFindings: Readonly<Record<PipelinesDamage, FindingFacts>> = {
  'pipeline-damaged': {
    severity: 'error',
    meaning: 'The pipeline cannot be listed, and runs no jobs.',
    advice:
      'delete the pipeline and create it again from its spec; its output repo is kept and used',
  },
  'pipeline-inputs-wrong': {
    severity: 'error',
    meaning: 'New commits on some of its input branches start no jobs.',
    advice: fixIt,
  },
  'pipeline-provenance-wrong': {
    severity: 'error',
    meaning:
      'The output repo is not said to be made from all inputs, so flush and alignment go wrong.',
    advice: fixIt,
  },
  'pipeline-repo-missing': {
    severity: 'warning',
    meaning: 'The pipeline cannot run, since a repo that it reads or writes has been deleted.',
    advice: 'create the repo again and start the pipeline, or delete the pipeline',
  },
  'pipeline-missing': {
    severity: 'error',
    meaning: 'Jobs are there whose pipeline neither is nor has been deleted: its row is lost.',
    advice:
      'create the pipeline again from its spec, which processes its inputs anew; or restore the newest backup, since where a row is lost, others may be',
  },
  'pipeline-kind-wrong': {
    severity: 'error',
    meaning: 'The pipeline is run as a spout or a service and is none, or the reverse.',
    advice: fixIt,
  },
  'pipeline-rows-left-over': {
    severity: 'warning',
    meaning: 'Rows are about pipelines that do not exist; they do no harm.',
    advice: 'run fsck with --fix: they are deleted',
  },
  'spec-damaged': {
    severity: 'error',
    meaning: 'What a former version of a pipeline was cannot be read, so its jobs cannot be shown.',
    advice: 'delete the jobs that ran it (pachctl delete-job); their outputs stay',
  },
  'arrival-damaged': {
    severity: 'error',
    meaning: 'A commit that waits to become part of a job will not, or not as it should.',
    advice: restoreMetadata,
  },
  'arrival-missing': {
    severity: 'error',
    meaning: 'A commit that waits to become part of a job is gone, and its job will not come.',
    advice: restoreMetadata,
  },
  'job-counts-wrong': {
    severity: 'warning',
    meaning:
      'The job counts datums that it has not brought to an end; what it made is not concerned.',
    advice: 'run fsck with --fix: they are counted again',
  },
  'job-damaged': {
    severity: 'error',
    meaning: 'What is shown of the job is not what it did.',
    advice: 'delete the job (pachctl delete-job) if it is in the way; its output commit stays',
  },
  'job-input-missing': {
    severity: 'error',
    meaning: 'Nobody can tell any more what the job read.',
    advice: restoreMetadata,
  },
  'job-output-missing': {
    severity: 'error',
    meaning: 'The job succeeded, and its output commit is gone.',
    advice: processAgain,
  },
  'job-output-wrong': {
    severity: 'error',
    meaning: 'The output commit of a job holds other files than its datums wrote.',
    advice: processAgain,
  },
  'job-output-provenance-wrong': {
    severity: 'error',
    meaning: 'The output commit of a job is not said to be made from what the job read.',
    advice: fixIt,
  },
  'job-provenance-wrong': {
    severity: 'error',
    meaning: 'Flush of a commit does not wait for the job, though it follows from it.',
    advice: fixIt,
  },
  'job-rows-left-over': {
    severity: 'warning',
    meaning: 'Rows are about jobs that do not exist; they do no harm.',
    advice: 'run fsck with --fix: they are deleted',
  },
  'datum-set-wrong': {
    severity: 'error',
    meaning:
      'The datums of a job cannot all be listed, and jobs after it may compare themselves with wrong ones.',
    advice: processAgain,
  },
  'datum-result-missing': {
    severity: 'error',
    meaning: 'A datum of a good job has no result, and the next job that builds on it will fail.',
    advice: processAgain,
  },
  'datum-result-damaged': {
    severity: 'error',
    meaning: 'A result that jobs may reuse makes no sense.',
    advice: processAgain,
  },
  'datum-failure-damaged': {
    severity: 'error',
    meaning: 'Why a datum failed cannot be shown.',
    advice: 'delete the job (pachctl delete-job) if it is in the way',
  },
  'secret-damaged': {
    severity: 'error',
    meaning: 'Code that asks for the secret cannot be started.',
    advice: 'store its values again with pachctl update-secret, or delete it',
  },
  'branch-trigger-damaged': {
    severity: 'error',
    meaning: 'The branch does not follow the other one, or not as it should.',
    advice:
      'give the branch its trigger again with pachctl set-branch, or update the pipeline that made it (pachctl update-pipeline)',
  },
  'trial-damaged': {
    severity: 'error',
    meaning: 'The trial cannot be shown or merged as it was begun; the main line is not concerned.',
    advice: 'delete the trial (pachctl delete-trial) and begin it again',
  },
  'trial-rows-left-over': {
    severity: 'warning',
    meaning: 'Rows are parts of trials that do not exist; they do no harm.',
    advice: 'run fsck with --fix: they are deleted',
  },
}

export function pipelinesFinding(name: PipelinesDamage): FindingKind {
  return { name, ...pipelinesFindings[name] }
}
