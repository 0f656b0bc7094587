import { atomsOf } from '../inputs.ts'
import type { JobPlan } from './plan.ts'

/**
 * `<input>_COMMIT` for each input that the code is `shown`, with the commit that the job reads of its
 * repo. A variable of the pipeline's own keeps its value: pipelines of 1.5 have no such variables.
 */
export function commitVariables(
  { job, spec }: Pick<JobPlan, 'job' | 'spec'>,
  shown: (input: string) => boolean,
): Readonly<Record<string, string>> {
  const variables: Record<string, string> = {}
  for (const { name: input, repo } of atomsOf(spec.input)) {
    const name = `${input}_COMMIT`
    const commit = job.inputs.find((read) => read.repo === repo)?.commit
    const isTaken = name.includes('=') || Object.hasOwn(spec.transform.environment, name)
    if (commit !== undefined && !isTaken && shown(input)) variables[name] = commit
  }
  return variables
}
