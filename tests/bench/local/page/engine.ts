/** What the page asks of each engine. All times are in milliseconds. */

export interface Prompt {
  readonly system: string;
  readonly user: string;
  /** The whole prompt in the model's template, as text and as tokens. */
  readonly text: string;
  readonly ids: readonly number[];
}

/** An answer in words. */
export interface Answer {
  /** From the question to the first token. */
  readonly first: number;
  /** From the first token to the last. */
  readonly decode: number;
  /** How many tokens came after the first. */
  readonly steps: number;
  /** How many tokens of the prompt were computed. */
  readonly prefilled: number;
  readonly text: string;
  /** The part of `decode` that was not spent on the way to the model and back, where there is Python. */
  readonly python?: number;
}

/** A tool call. */
export interface Call {
  /** From the question to the end of the call, and to its first token where that is known. */
  readonly whole: number;
  readonly text: string;
  readonly tokens: number;
  readonly prefilled: number;
  /** How often the model ran. */
  readonly runs?: number;
}

export interface Question {
  readonly user: string;
  readonly tools: readonly unknown[];
  /** For who has no templates and grammars of its own. */
  readonly text: string;
  readonly grammar: string;
}

export interface Reuse {
  /** To the first token. */
  readonly first: number;
  readonly cached: number;
  readonly prompt: number;
}

export interface Memory {
  /** Bytes of the wasm memories that can be seen. */
  readonly model: number | null;
  readonly python: number | null;
}

export interface Engine {
  /** What has to be there before a model can be loaded. */
  boot(): Promise<number>;
  /** Whether what is fetched may be kept for the next visit. */
  load(threads: number, keep: boolean): Promise<number>;
  chat(prompt: Prompt, tokens: number): Promise<Answer>;
  call?(question: Question): Promise<Call>;
  reuse?(messages: readonly { role: string; text: string }[], keep: boolean): Promise<Reuse>;
  turns?(count: number): Promise<number>;
  loadEmbeddings?(threads: number): Promise<number>;
  /** Time for all texts. */
  embed?(texts: readonly string[]): Promise<{ milliseconds: number; vectors: number[][] }>;
  /** Where the time of `load` went. */
  phases?(): Promise<Record<string, number>>;
  memory(): Promise<Memory>;
  close(): Promise<void>;
}
