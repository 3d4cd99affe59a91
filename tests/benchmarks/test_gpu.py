from benchmarks import gpu


def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    gpu.main([])
    assert capsys.readouterr().out == "no GPU: nothing is measured\n"


def test_it_measures_a_small_step_on_a_cpu(monkeypatch, capsys):
    monkeypatch.setattr(gpu, "peak_of", lambda *_: 0.1)
    words = ["datamodule.batch_size=4", "lightning_module.net.channels=[2,4,4,4]"]
    gpu.main(["medmnist_cvae", "--device", "cpu", "--precision", "32-true", "--set", *words])
    *numbers, _, estimated = map(float, capsys.readouterr().out.splitlines()[-1].split(" | ")[2:])
    assert len(numbers) == 3
    assert all(number > 0 for number in [*numbers, estimated])
