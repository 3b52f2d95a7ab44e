"""What is run when a machine with a CUDA card can be had, in the order of its worth: ``python -m tests.cuda STEP``.

| step | what |
| --- | --- |
| correct | the card's numbers against float64 on the CPU; bf16 and compiled against fp32; repeatability; waits |
| rates | the card's rates, and what share of them training, observing, the mixed step and replicas reach |
| record | trainings at the paper's scale: ResNet-9, CNN, fully connected, widths |
| resnet18 | learning from two gradients: scans of the mix, closed loops, width one half |
| selective | the penalty on some classes |
| suspects | the wrong labels of 25,000 photographs, end to end |

It needs what `lib` computes with (torch, numpy, pandas, pyarrow, scikit-learn, scipy; for the last step Pillow) and
no Jupyter, and of data MNIST and half of CIFAR-10: ``pack`` writes them in small files, which a machine without a
network takes one by one into its data folder. Every result is written when it is there and not measured again: a
command that was cut off, or that had no time for all (it then exits with 3), is given again with the same ``--out``.
``wanted`` lists what chapters miss at the paper's scale: in the data folder of the machine with the card its file takes
the place of the built-in list of `record`, whose runs ``--jobs`` processes share; ``records.zip`` then holds what goes
into ``book/records``. ``publish`` makes the book's page of costs tell what `correct` and `rates` found.
``--dry`` runs everything at tiny size on a CPU.
"""
