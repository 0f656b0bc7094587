/** How much something that was looked at matters: fine, worth a thought, or to be put right. */
export type SymptomGrade = 'fine' | 'notice' | 'problem'

/** What was found when one thing was looked at. */
export interface Symptom {
  /** What was looked at, such as `disk`. */
  readonly subject: string
  readonly grade: SymptomGrade
  /** What is so. */
  readonly text: string
  /** What to do about it; empty when it is fine. */
  readonly advice: string
}

export function fine(subject: string, text: string): Symptom {
  return { subject, grade: 'fine', text, advice: '' }
}

export function notice(subject: string, text: string, advice: string): Symptom {
  return { subject, grade: 'notice', text, advice }
}

export function problem(subject: string, text: string, advice: string): Symptom {
  return { subject, grade: 'problem', text, advice }
}
