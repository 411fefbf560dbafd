"""The services that speak chat completions, or make embeddings, and differ in data only: one entry each.

Each entry's address, key and abilities are what the service's public documents, named in the comments, say as far as
they were at hand in 2026-11; none was asked for real. Where documents leave an ability to the model it is taken to be
there, and a model that lacks it is given an option. What a page needs is a proxy unless a document says otherwise.
"""

from __future__ import annotations

from dataclasses import replace

from ..host import Host
from ..model import ModelReference
from ..protocols.chat_completions import ChatCompletions, Dialect
from ..protocols.embeddings import JINA, OPENAI, VOYAGE
from .remote import RemoteModel, create_remote
from .service import Service

# These refuse fields they don't know, and send the usage with the last piece unasked.
_WITHOUT_STREAM_OPTIONS = ChatCompletions(Dialect(has_stream_options=False))
# These want the model's thoughts back with its calls, and the field even where there were none.
_WITH_THOUGHTS = ChatCompletions(Dialect(reasoning_field="reasoning_content"))

_ALL = (
    # docs.mistral.ai/api: `stream_options` isn't among its fields; thoughts come as parts of the content.
    Service(
        "mistral",
        "https://api.mistral.ai/v1",
        _WITHOUT_STREAM_OPTIONS,
        "MISTRAL_API_KEY",
        embeddings=replace(OPENAI, most_texts=128),  # "too many inputs in request" beyond some 150
        context_lengths={"mistral-large": 131_072, "mistral-medium": 131_072, "mistral-small": 131_072},
    ),
    # console.groq.com/docs/openai, /docs/models; its JavaScript library has `dangerouslyAllowBrowser`.
    Service(
        "groq",
        "https://api.groq.com/openai/v1",
        key_name="GROQ_API_KEY",
        browser_access="open",
        context_lengths={"llama-3": 131_072, "openai/gpt-oss": 131_072},
    ),
    # api-docs.deepseek.com: JSON mode only, text only; "Thinking Mode" asks for `reasoning_content` back with calls.
    Service(
        "deepseek",
        "https://api.deepseek.com",
        _WITH_THOUGHTS,
        "DEEPSEEK_API_KEY",
        has_json_schema=False,
        has_images=False,
        context_lengths={"deepseek-chat": 131_072, "deepseek-reasoner": 131_072, "deepseek-v4": 1_000_000},
    ),
    # docs.x.ai/docs/api-reference, /docs/models
    Service(
        "xai",
        "https://api.x.ai/v1",
        key_name="XAI_API_KEY",
        context_lengths={"grok-4": 256_000, "grok-4-fast": 2_000_000, "grok-3": 131_072},
    ),
    # docs.together.ai/reference
    Service("together", "https://api.together.xyz/v1", key_name="TOGETHER_API_KEY", embeddings=OPENAI),
    # docs.fireworks.ai/tools-sdks/openai-compatibility
    Service(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        key_name="FIREWORKS_API_KEY",
        embeddings=replace(OPENAI, most_texts=8),
    ),
    # docs.perplexity.ai/api-reference/chat-completions-post: no tools and no list of models.
    Service(
        "perplexity",
        "https://api.perplexity.ai",
        _WITHOUT_STREAM_OPTIONS,
        "PERPLEXITY_API_KEY",
        has_tools=False,
        has_parallel_tools=False,
        models_path=None,
        context_lengths={"sonar": 128_000, "sonar-pro": 200_000},
    ),
    # inference-docs.cerebras.ai/api-reference: text only.
    Service("cerebras", "https://api.cerebras.ai/v1", key_name="CEREBRAS_API_KEY", has_images=False),
    # docs.api.nvidia.com/nim/reference/llm-apis; its embeddings want `input_type` as Voyage's do, in other words.
    Service("nvidia", "https://integrate.api.nvidia.com/v1", key_name="NVIDIA_API_KEY"),
    # huggingface.co/docs/inference-providers; its JavaScript library runs in pages.
    Service("huggingface", "https://router.huggingface.co/v1", key_name="HF_TOKEN", browser_access="open"),
    # docs.github.com/en/rest/models: the list is at another address than the models.
    Service(
        "github",
        "https://models.github.ai/inference",
        key_name="GITHUB_TOKEN",
        embeddings=OPENAI,
        models_path="https://models.github.ai/catalog/models",
    ),
    # platform.moonshot.ai/docs/api/chat: models that think refuse `tool_choice` "required".
    Service(
        "moonshot",
        "https://api.moonshot.ai/v1",
        _WITH_THOUGHTS,
        "MOONSHOT_API_KEY",
        has_json_schema=False,
        context_lengths={"kimi-k2": 262_144, "moonshot-v1-8k": 8192, "moonshot-v1-128k": 131_072},
    ),
    # docs.z.ai/api-reference/llm/chat-completion: JSON mode only; it documents no list of models.
    Service(
        "zai",
        "https://api.z.ai/api/paas/v4",
        _WITH_THOUGHTS,
        "ZAI_API_KEY",
        has_json_schema=False,
        models_path=None,
        context_lengths={"glm-4.6": 200_000, "glm-4.5": 131_072},
    ),
    # alibabacloud.com/help/en/model-studio, "OpenAI compatible": outside China; other regions by `base_url`.
    Service(
        "dashscope",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        key_name="DASHSCOPE_API_KEY",
        embeddings=replace(OPENAI, most_texts=10),
        context_lengths={"qwen-max": 32_768, "qwen-plus": 131_072, "qwen3-max": 262_144},
    ),
    # platform.minimax.io/docs, "Compatible OpenAI API": text only, and no list of models.
    Service(
        "minimax",
        "https://api.minimax.io/v1",
        ChatCompletions(Dialect(reasoning_field="reasoning_details")),
        "MINIMAX_API_KEY",
        has_json_schema=False,
        has_images=False,
        models_path=None,
        context_lengths={"MiniMax-M2": 204_800},
    ),
    # docs.sambanova.ai/docs/en/api-reference
    Service("sambanova", "https://api.sambanova.ai/v1", key_name="SAMBANOVA_API_KEY", embeddings=OPENAI),
    # docs.hyperbolic.xyz/docs/rest-api: function calling isn't documented.
    Service(
        "hyperbolic",
        "https://api.hyperbolic.xyz/v1",
        key_name="HYPERBOLIC_API_KEY",
        has_tools=False,
        has_parallel_tools=False,
        has_json_schema=False,
    ),
    # lmstudio.ai/docs/app/api/endpoints/openai
    Service(
        "lmstudio",
        "http://127.0.0.1:1234/v1",
        needs_key=False,
        embeddings=OPENAI,
        browser_access="server",
        cors_hint="start its server with `lms server start --cors`",
    ),
    # llama.cpp tools/server/README.md: it lets every page in. `--embedding` makes it answer /v1/embeddings.
    Service("llamacpp", "http://127.0.0.1:8080/v1", needs_key=False, embeddings=OPENAI, browser_access="open"),
    # docs.vllm.ai, "OpenAI-Compatible Server": `--allowed-origins` is every page unless it is set.
    Service(
        "vllm",
        "http://127.0.0.1:8000/v1",
        key_name="VLLM_API_KEY",
        needs_key=False,
        embeddings=OPENAI,
        browser_access="server",
        cors_hint="start vLLM with this page's origin in `--allowed-origins`",
    ),
    # docs.voyageai.com/reference/embeddings-api
    Service(
        "voyage",
        "https://api.voyageai.com/v1",
        None,
        "VOYAGE_API_KEY",
        embeddings=VOYAGE,
        models_path=None,
        context_lengths={"voyage": 32_000},
    ),
    # jina.ai/embeddings, api.jina.ai/scalar
    Service(
        "jina",
        "https://api.jina.ai/v1",
        None,
        "JINA_API_KEY",
        embeddings=JINA,
        models_path=None,
        context_lengths={"jina-embeddings-v3": 8192, "jina-embeddings-v4": 32_768},
    ),
)
SERVICES = {service.provider: service for service in _ALL}


def create(reference: ModelReference, host: Host) -> RemoteModel:
    """Make a model of one of these services. Raises `ConfigurationError` when it is set up wrongly."""
    return create_remote(SERVICES[reference.provider], reference, host)
