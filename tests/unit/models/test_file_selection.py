"""Which of a repository's files are downloaded."""

from campaign.models.file_selection import RemoteFile, needed_files, weight_files


def names(*files: str) -> list[str]:
    return sorted(file.name for file in needed_files([RemoteFile(name, 10) for name in files]))


def test_safetensors_are_preferred_to_bin() -> None:
    assert names("model-1.safetensors", "pytorch_model.bin") == ["model-1.safetensors"]
    assert names("pytorch_model-1.bin", "training_args.bin") == ["pytorch_model-1.bin"]


def test_weights_that_are_there_twice_are_taken_once() -> None:
    assert names("consolidated.safetensors", "model-1.safetensors") == ["model-1.safetensors"]
    assert names("consolidated.safetensors") == ["consolidated.safetensors"]


def test_other_formats_and_copies_in_folders_stay_on_the_hub() -> None:
    assert names("original/model.safetensors", "onnx/model.onnx", "a.gguf", "a.h5", "README.md", ".gitattributes") == []


def test_everything_that_describes_the_model_comes_along() -> None:
    described = [
        "1_Pooling/config.json",
        "config.json",
        "merges.txt",
        "modeling_x.py",
        "qwen.tiktoken",
        "t.jinja",
        "tokenizer.model",
    ]
    assert names(*described) == described


def test_a_large_json_in_a_folder_is_no_description() -> None:
    assert needed_files([RemoteFile("data/all.json", 60_000_000)]) == []
    assert needed_files([RemoteFile("tokenizer.json", 60_000_000)]) != []


def test_a_name_that_leads_out_of_the_folder_is_not_taken() -> None:
    assert names("../config.json", "/etc/x.json", "a/../../b.json") == []


def test_a_hidden_file_cannot_pass_for_the_marker_of_a_whole_copy() -> None:
    assert names(".complete.json", ".cache/x.json", ".model.safetensors.part", ".a.safetensors") == []


def test_a_stub_of_weights_counts_as_none() -> None:
    assert weight_files([RemoteFile("model.safetensors", 0)]) == []
